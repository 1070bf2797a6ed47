"""Sheets: the files people upload, read row by row, and the files they take home. No SQL here.

    sniff     formats.sniff: which format, encoding, delimiter and columns a file has  -> layout.Layout
    read      formats.records: its rows from any byte offset on                        -> layout.Record
    map       mapping.resolve: which column feeds which field                          -> mapping.Mapping
    check     rows.Rows: what one row sends, or what is wrong with it                  -> rows.Row
    preview   preview.preview: all of that, and nothing is kept
    write     export.written: the columns of table.Table for each row, in any of export.MEDIA

A further format is one module with `sniff` and `records`, and one line in formats.py.
"""
