"""What a launch left behind: every file and folder of a test, as they are now."""

import main


def everything(folder):
    """Relative path -> content, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def objects(gcs, bucket):
    """URI -> content."""
    return {uri: gcs.download(uri) for uri in gcs.list(bucket)}


def checked_main(look):
    """The entry point, which also makes sure that what it refuses leaves no trace.

    Args:
      look: returns what is there.
    """
    launch = main.main

    def checked(argv):
        before = look()
        status = launch(argv)
        if status == 2:
            assert look() == before, "a refused launch changed something"
        return status

    return checked
