"""Turn a folder of pictures into a collection that can be searched: see `--help`."""

from image_search.build_command import main

if __name__ == "__main__":
    main()
