"""The policy language: the documents one policy consists of, and the reader that turns YAML text into policies, or into
problems with file, line, path and allowed values. Imports `rules` and `base`.
"""
