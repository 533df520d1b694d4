"""One module a verb: flags in, one call down, words out."""
