"""The data folder: films, masks, versions, drafts and cached results."""
