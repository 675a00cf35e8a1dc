"""Apply a converted network to images of any size: scans, maps, boxes, segmentation."""
