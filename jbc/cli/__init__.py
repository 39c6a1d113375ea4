"""One module for every command, with ``main(arguments) -> exit status``."""
