"""Figures and tables for papers, with the numbers of the report: curves, drawings, heat maps; LaTeX, CSV, Markdown."""
