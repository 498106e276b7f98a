"""Log Analytics: Kusto queries over the rows that other services log through `base`. DuckDB runs the queries. It may
import `arm` and `base`.
"""
