"""How the parts of the sandbox talk to its API server: the same verbs over a socket (``http``) or in process (``local``)."""
