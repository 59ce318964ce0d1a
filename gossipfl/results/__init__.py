"""The commands for Python, and what they give: numbers as frames, curves and files, in scripts and in notebooks."""
