"""How good detections are: box and mask AP as COCO counts them, curves, confusion matrix."""
