"""The workbench: data, training, judging. Nothing in the bot imports it."""
