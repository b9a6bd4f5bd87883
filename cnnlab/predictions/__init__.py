"""Answers for files: records, pictures and videos."""
