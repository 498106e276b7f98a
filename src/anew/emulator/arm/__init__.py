"""The protocol that the services share: routes, ids, errors, pages and long-running operations of Azure Resource
Manager, tokens of Entra, and the credential that real SDK clients use. Requests come in, `ArmCall` values go to the
services. It may import `base`.
"""
