"""What a change of an OpenAPI document breaks for those who call the API: OpenAPI 3.0 and 3.1, by direction.

`classify.compare` is the entry point. Each module knows one thing: operations, parameters, bodies and responses, security,
servers, and schemas, which are compared as sets of documents (`schemas` says what one step of that comparison finds,
`graph` ties the steps together).
"""
