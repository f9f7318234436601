"""ClickHouse in the place of FAISS and of the metadata in memory, for what outgrows one machine.

The same SQL runs embedded in this process (chDB, in a folder), on a server, and on a cluster whose
shards hold a part of the pictures each. Needs requirements-engine.txt.
"""
