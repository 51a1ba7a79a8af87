"""Read and write the files that jobs exchange."""
