"""General drawing tools: charts, overlays, thumbnails, HTML."""
