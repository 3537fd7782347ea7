"""The networks we build ourselves, with the key names and shapes of the published weights."""
