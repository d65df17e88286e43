"""Views of a run: renderers over the run document (plain data in, text or HTML out); a renderer never measures."""
