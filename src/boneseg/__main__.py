"""`python -m boneseg`: the command, where its folder is not on the path."""

from boneseg.cli import main

main()
