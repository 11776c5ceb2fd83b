"""The page as a local web server: live while a run is in progress, with marks and plans of redo and retry."""
