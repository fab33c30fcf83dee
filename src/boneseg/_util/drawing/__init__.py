"""Drawing tools without knowledge of what is drawn: charts, overlays, thumbnails, HTML."""
