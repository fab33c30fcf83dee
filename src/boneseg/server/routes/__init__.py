"""The HTTP API of the light box, a module for each kind of resource."""
