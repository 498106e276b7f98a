"""One vendor a file. Each implements ports of the engine and translates the vendor's errors into ours."""
