"""Tells people what happened to a deploy, once, with what a person on call needs.

Reading order:

- `run`: what is sent, and what the report says of it. `message` holds what people read.
- `situation` reads what the message says from the records and from GitHub; `changes` decides what is news, and `owners` reads
  CODEOWNERS.
- `payloads` writes the message for each service, and `delivery` sends it through Apprise.
"""
