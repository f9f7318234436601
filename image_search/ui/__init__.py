"""The page: layout and wiring. Handlers are plain functions."""
