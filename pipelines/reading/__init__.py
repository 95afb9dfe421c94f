"""From untrusted bytes to typed rows and violations, in a child process. Knows neither tables nor buckets."""
