"""Which layer of an artifact answers differently from Keras, and how the error grows from layer to layer.

`curve.py` is what is told, and knows no library; `compare.py` finds it.
"""
