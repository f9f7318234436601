"""Bias probes: what charged words do to the results of a collection, beside what any word does.

Offline: `probes` says what is asked, `answers` asks it of every picture, `figures` compares,
`report` puts it together, `sheets` and `page` show it, `command` is what is typed.
"""
