"""Pure operations on API objects: selectors, patches, quantities. Nothing here knows a kind, a store or a socket."""
