"""The laptop: a local AWS, an Athena that executes, and the processes of `lakegate up`. Never used in production."""
