"""notify: tells people what happened to a deploy, once, with what a person on call needs.

`changes` decides what is news, `situation` reads what the message says from records and GitHub, `owners` reads CODEOWNERS,
`message` holds the message, `payloads` writes it for each service, and `delivery` sends it through Apprise.
"""
