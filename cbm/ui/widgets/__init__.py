"""What pages draw with: figures, galleries, thumbnails, heat-maps, components, the job panel."""
