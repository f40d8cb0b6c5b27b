"""Routes by subject, thin: what they do stands in the other rooms."""
