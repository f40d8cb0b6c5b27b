"""What every other room may use: configuration, errors, files, names, times, records."""
