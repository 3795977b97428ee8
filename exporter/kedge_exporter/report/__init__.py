"""`report.html`: the proof as a page for people.

`page.py` puts it together from sections, `plots/` draws, `keras_graph.py` reads the model's graph, `data.py` is what
goes in.
"""
