"""A converted network at work on images of any size: scans, maps, boxes, segmentations."""
