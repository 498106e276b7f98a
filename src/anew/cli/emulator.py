"""`anew emulator`."""

from pathlib import Path


def emulator(
    *, host: str = "127.0.0.1", port: int = 8720, folder: Path = Path(".anew/local-azure"), json: bool = False
) -> None:
    """Serve local Azure: ADF, Azure ML, Log Analytics and Event Grid for the real SDKs, on this machine only.

    Parameters
    ----------
    host
        Address to listen on.
    port
        Port to listen on.
    folder
        Folder for its state; a restart on the same folder loses nothing.
    json
        Print one JSON object with the address before serving.
    """
    from anew.cli.output import print_json
    from anew.emulator.app import serve

    if json:
        print_json({"url": f"http://{host}:{port}", "folder": str(folder)})
    else:
        print(f"Local Azure at http://{host}:{port}, kept in {folder}. Point settings at it: azure.local_azure_url")
    serve(host, port, folder)
