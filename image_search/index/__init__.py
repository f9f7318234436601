"""Vectors → nearest rows. Knows neither pictures nor metadata.

`protocol` says what an index can do, `exact` is the oracle, `faiss_index` what an artifact carries,
`clickhouse` asks a database.
"""
