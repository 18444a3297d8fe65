"""How encoder and decoder are taught."""
