"""The template, the style and the script of the page; no code."""
