"""The only room that knows which name means which class: catalogue, environments, sessions."""
