"""The mathematics: arrays in, bits or coded streams out. Nothing here opens a file."""
