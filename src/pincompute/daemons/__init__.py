"""Programs that run once on every node of a member: the metrics agent and the log shipper.

They know no API server and no other package of the platform, only files of their node, so their images hold no more than this
package, Python and one library.
"""
