"""History: the graph of what led to what, and its text as a Mermaid flowchart. Imports no other room."""
