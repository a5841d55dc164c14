"""A request adapted to its model: history, images, reasoning and schemas are made to keep the rules of `rules`."""
