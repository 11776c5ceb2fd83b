"""The report: the page that shows a batch, its document, and other forms of it."""
