"""The words every room uses: money, ids, time, states, pages, errors, secrets. Imports nothing of storeroom."""
