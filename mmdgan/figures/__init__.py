"""The figures and tables of the paper, each as a function that writes pictures and the numbers behind them.

The scripts in experiments/ that are named after figures call them. `output` is what all of them share.
"""
