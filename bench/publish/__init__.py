"""Publishing: a board becomes pages, charts and downloads."""
