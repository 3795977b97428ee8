"""The plots of the report, drawn by matplotlib when they are asked for, as SVG that takes its colours from the page.

Only `drawing.py` imports matplotlib. What is written into a plot is ours: names out of a model's file stand beside it.
"""
