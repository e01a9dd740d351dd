"""Vector files, one format a module: how it is recognised, read and written."""
